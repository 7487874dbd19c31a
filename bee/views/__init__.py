"""What people see of an audit: a table, a short summary, a QR code."""
