"""The way to the centre: conversation over HTTP, retried for ever, never in the way of a sale."""
