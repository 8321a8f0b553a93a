"""The bus between the tills of a store: gossip, and requests with answers, over the LAN.

Begin with `port`, what the agent calls. `bus` seals and opens envelopes, `child_process` keeps the
child running, `child` is that process: `mesh` over nanomsg or pynng, which may crash there as they
like.
"""
