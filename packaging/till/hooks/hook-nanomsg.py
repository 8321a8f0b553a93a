"""PyInstaller reads this when the agent imports nanomsg.

The library picks its C extension by name at run time.
`libnanomsg.so.5` comes along by itself, as what the extension is linked against.
"""

hiddenimports = ["_nanomsg_cpy", "nanomsg_wrappers"]
