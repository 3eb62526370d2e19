"""What a run leaves behind and what is made of it: ledgers, statistics, curves, the W&B mirror. Nothing here trains."""
