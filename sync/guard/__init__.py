"""The guard's service: what waits for approval, who approved or rejected it, and what lets itself go."""
