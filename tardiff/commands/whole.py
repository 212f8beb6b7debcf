"""The whole way in one command."""

from tyro.conf import OmitArgPrefixes

from tardiff.commands.options import Out
from tardiff.settings import DemoSettings


def demo(out: Out, settings: OmitArgPrefixes[DemoSettings] = DemoSettings()) -> None:
    """Run the six steps in a row, from records to a page that shows what guided samples are worth. Takes about five minutes.

    For instance:
      tardiff demo --out runs/demo
      tardiff demo --data physionet2012 --raw physionet2012/ --out runs/demo-p12

    Args:
        out: Folder to write everything to.
    """
    from tardiff.demo import demo

    demo(out, settings)
