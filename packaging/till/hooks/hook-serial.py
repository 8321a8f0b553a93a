"""PyInstaller reads this when the agent imports pyserial.

The library finds its URL handlers by name at run time.
"""

from PyInstaller.utils.hooks import collect_submodules  # type: ignore[import-untyped]

hiddenimports = collect_submodules("serial.urlhandler")
