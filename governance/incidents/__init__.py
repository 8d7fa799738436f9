"""Incidents: opened by controls and people, assessed by a person, told to whom must be told, closed with a reason."""
