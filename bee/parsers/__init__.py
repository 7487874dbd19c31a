"""One module a tool: `parse(data: bytes)` turns what the tool printed into records, and never raises on any bytes."""
