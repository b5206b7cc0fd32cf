// The columns of several results of the same cells in one zarr: `cellstrata collect`.
process CELLSTRATA_COLLECT {
    tag "${meta.id}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"

    input:
    tuple val(meta), path(results)

    output:
    tuple val(meta), path("${prefix}.zarr"), emit: zarr
    path "versions.yml", emit: versions, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    cellstrata collect ${results} --output collected/linked.zarr
    cellstrata materialize collected/linked.zarr ${prefix}.zarr

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        cellstrata: \$(cellstrata --version | sed 's/cellstrata //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir ${prefix}.zarr
    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        cellstrata: \$(cellstrata --version | sed 's/cellstrata //')
    END_VERSIONS
    """
}
