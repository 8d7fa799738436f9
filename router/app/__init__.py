"""The composition root: opens everything a serving process needs and puts the gateway in front of the web application."""
