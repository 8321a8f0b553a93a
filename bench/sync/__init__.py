"""What the line carries in a day, and what redemption without a line is worth."""
