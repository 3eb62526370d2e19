"""The report: a page, figures and tables made from the analysis of ledgers. Needs nothing that trains."""
