"""What runs on the till; begin reading at `till_service.service`, the way a basket takes.

`journal` and `reference_data` keep what the till knows, `link` talks to the centre, `pos_api` to
the register; `bootstrap` joins them.
"""

__version__ = "0.1.0"
