"""The EPCS desk of the console: tokens, soft tokens, and who may sign prescriptions of controlled substances.

`desk` holds what everything here works with; each flow is a module of functions that take it (`hardware`, `soft`,
`requests`, `overrides`, `suspensions`, `incidents`, `daily_report`, `standing`), called alike by the addresses for
programs (`api`) and by the pages (`pages_*`). `tables` has what is kept. Who may sign is not decided here: the EHR does
that.
"""
