"""Mail: rendered from packaged templates, sealed in an outbox, delivered through Mailgun when it is configured."""
