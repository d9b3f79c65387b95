"""The numbers are guarded: baseline, limits, tables in documents."""
