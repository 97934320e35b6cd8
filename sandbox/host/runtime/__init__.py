"""How an outer container is started: a file a runtime, behind `base.OuterRuntime`."""
