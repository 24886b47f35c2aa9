"""`python -m corten.distributed.launch`: as `corten.distributed.run`, for programs that take ``--local-rank``."""

from . import run


def main(args=None):
    """Runs the program with ``--local-rank=N`` in front of its arguments, or without after ``--use-env``."""
    parser = run.get_args_parser("python -m corten.distributed.launch")
    parser.add_argument("--use-env", "--use_env", action="store_true", help="the program reads LOCAL_RANK")
    chosen = run.parse_args(args, parser)
    chosen.passes_rank = not chosen.use_env
    run.execute(chosen)


if __name__ == "__main__":
    main()
