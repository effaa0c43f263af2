"""What people read: tables, pages and reports of what other rooms found out."""
