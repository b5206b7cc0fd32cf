#!/bin/sh
# biopython 1.88, DendroPy 5.1.3, ete3 3.1.3, scikit-bio 0.7.4 (Python 3.12 or later)
#
# Ids of clusters in a tree are often `1_0`: child 0 of cluster 1. Written into Newick as they are, four readers keep
# different ones by default. DendroPy and scikit-bio read `1_0` as `1 0`, as the format's description has it; Biopython
# and ete3 read `1_0`. Biopython takes the bare name `0` of an inner node for its confidence, and the node has no name.
# ete3 3.1.3 raises a KeyError on a quoted label with a doubled quote, also with `quoted_node_names=True`. No way of
# writing such names is read the same by all.
# Our guess was that bare labels of letters, digits and underscores are safe everywhere, and quoted ones too.
#
# Output seen:
#   biopython 1.88: 1_0 kept, T cell kept, it's kept, 0 not kept
#   DendroPy 5.1.3: 1_0 not kept, T cell kept, it's kept, 0 kept
#   ete3 3.1.3: KeyError
#   scikit-bio 0.7.4: 1_0 not kept, T cell kept, it's kept, 0 kept
#
# Exits with 1 if one of these lines changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/show.py" <<'PYTHON'
import io
import warnings
from importlib.metadata import version

warnings.simplefilter("ignore")
LABELS = ["1_0", "T cell", "it's", "0"]  # of three leaves, and of the node above them
TREE = "((1_0:1,'T cell':1,'it''s':1)0:1,other:1)root;"


def biopython():
    from Bio import Phylo

    return {node.name for node in Phylo.read(io.StringIO(TREE), "newick").find_clades() if node.name}


def dendropy():
    import dendropy

    tree = dendropy.Tree.get(data=TREE, schema="newick")
    return {str(node.label or (node.taxon and node.taxon.label)) for node in tree.preorder_node_iter()}


def ete3():
    from ete3 import Tree

    return {node.name for node in Tree(TREE, format=1, quoted_node_names=True).traverse()}


def scikit_bio():
    from skbio import TreeNode

    return {node.name for node in TreeNode.read(io.StringIO(TREE), format="newick").traverse()}


for package, read in {"biopython": biopython, "DendroPy": dendropy, "ete3": ete3, "scikit-bio": scikit_bio}.items():
    try:
        found = read()
    except Exception as error:
        said = type(error).__name__
    else:
        said = ", ".join(f"{label} {'kept' if label in found else 'not kept'}" for label in LABELS)
    print(f"{package} {version(package)}: {said}")
PYTHON
python3 -m venv "$folder/own"
"$folder/own/bin/pip" install -q --disable-pip-version-check biopython==1.88 dendropy==5.1.3 ete3==3.1.3 six==1.17.0 \
    scikit-bio==0.7.4
"$folder/own/bin/python" "$folder/show.py" > "$folder/seen"
cat "$folder/seen"
grep -E "^#   (biopython|DendroPy|ete3|scikit-bio) " "$0" | sed 's/^#   //' | diff - "$folder/seen" > /dev/null
