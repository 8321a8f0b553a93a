"""Incidents the centre notices by itself, and the mails that tell people of them."""
