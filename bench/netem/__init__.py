"""Several hosts as network namespaces, bad lines between them, and what is left afterwards."""
