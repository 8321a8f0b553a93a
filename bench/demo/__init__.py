"""The main job: two stores sell real baskets, lose the network, lose a process, and lose nothing else.

`rig` starts the processes, `replay` lets the customers come, `proof` shows from the database and the tills'
files that everything is there once, `summary` says so. Run it with `make demo`.
"""
