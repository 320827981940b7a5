"""The interpreter, as `describe` names it."""

import platform


def interpreter() -> str:
    """Name, version and compiler: two builds of one version may differ in speed."""
    return f"{platform.python_implementation()} {platform.python_version()} ({platform.python_compiler()})"
