"""Devices and programs at the register; imports nothing of ours, so that it can be used alone.

To add an adapter:
    1. Make a folder named after the device; no adapter imports another.
    2. Build and read its bytes in a module that opens nothing; test that with recordings.
    3. Open the device in one other module and implement a port of `ports.py` there.
    4. Raise only what `errors.py` names: the sale goes on without the device.
    5. Test it against the port's promises, also missing, busy and talking rubbish.
"""
