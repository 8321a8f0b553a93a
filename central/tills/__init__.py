"""The tills: who they are, how one becomes one, what they are told."""
