"""PostgreSQL: started when none is given, reached through one pool, brought up to date.

`embedded` runs the server that comes in a wheel, `pool` connects, `migrations` brings the schema up
to date, `named_sql` loads statements from the .sql file beside the module that runs them.
"""
