"""Dashboards from typed code, alert rules, and a compose file that shows both. `python -m grafana` writes the JSON."""
