"""Rights to spend points away from the centre: grants, authorisations, the risk budget and the pool behind it."""
