"""The people who work at the centre: who they are, what they may, what each of them did."""
