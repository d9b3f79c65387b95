"""What vggcost itself costs, measured: one file for each part, each of which returns rows for the table."""
