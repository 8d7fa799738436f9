"""Policy versions as frozen folders, and the readers of what they fix: text, retention, recipients, promises."""
