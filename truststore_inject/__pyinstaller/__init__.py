"""For PyInstaller, which finds it through the entry point ``pyinstaller40``.  Nothing else imports it."""

import os


def get_hook_dirs() -> list[str]:
    return [os.path.dirname(__file__)]
