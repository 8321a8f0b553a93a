"""Programs from outside, the customers' app and partners: who they are, what they see and move."""
