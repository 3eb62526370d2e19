"""From ledgers to tables: means and intervals over seeds, paired comparisons, matching levels, costs. Draws nothing."""
