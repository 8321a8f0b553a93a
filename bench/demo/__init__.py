"""The main job: two stores sell real baskets, lose the network and a process, and nothing else.

`rig` starts the processes, `replay` lets the customers come, `proof` shows from the database and
the tills' files that everything is there once, `summary` says so. Run it with `make demo`.
"""
