"""`python -m edge_agent`: the command line, where the console script is not installed."""

from edge_agent.cli import main

if __name__ == "__main__":
    main(prog_name="edge-agent")
