"""Programs: each module is one thin main()."""
