"""The report: one page that people forward, drawn from the records alone. It computes no estimate of its own."""
