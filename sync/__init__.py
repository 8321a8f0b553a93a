"""What till and centre say to each other: wire types and sessions without I/O.

Promises: a record is sent until it is acknowledged; it is applied once; the chain of a stream is
contiguous and each link is checked; rights move only inside a session in which the chain was
compared. `messages` and `records` say what is said, `cycle` (till) and `receiving` (centre) say
when; `docs/wire-protocol.md` tells it in words.
"""
