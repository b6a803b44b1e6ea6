"""The RA manager's server: campaigns out, check-ins in, and the dashboard (docs/console.md). It never imports the
agent: the two share the words of `renewagent.check_ins` and what stands above both."""
