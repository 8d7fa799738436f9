"""Services that refuse to run as root run as `nobody`."""

import os
import pwd


def owner() -> pwd.struct_passwd | None:
    """Who the service runs as, where that isn't the current user."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def as_nobody(command: list[str]) -> list[str]:
    """The command, stepped down from root."""
    if owner() is None:
        return command
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]
