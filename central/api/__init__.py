"""The centre's HTTP API: tills, thin clients and the office; `app` lists every route."""
