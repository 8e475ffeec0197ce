"""Write-back: what of a month's scores a CRM, a table or a file does not hold yet, and how it gets there."""
