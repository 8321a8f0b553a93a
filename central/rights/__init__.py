"""Rights to spend points away from the centre: grants, authorisations, risk budget and its pool."""
