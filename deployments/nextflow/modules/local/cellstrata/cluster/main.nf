// One level of clustering: `cellstrata cluster`. Further options go into ext.args.
process CELLSTRATA_CLUSTER {
    tag "${meta.id}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"

    input:
    tuple val(meta), path(adata, stageAs: 'input/*')
    val resolution
    val level

    output:
    tuple val(meta), path("${prefix}.zarr"), emit: zarr
    path "versions.yml", emit: versions, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}_${resolution}_${level}"
    """
    cellstrata cluster ${args} \\
        --resolution ${resolution} \\
        --level ${level} \\
        --threads ${task.cpus} \\
        ${adata} \\
        linked.zarr
    cellstrata materialize linked.zarr ${prefix}.zarr

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        cellstrata: \$(cellstrata --version | sed 's/cellstrata //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}_${resolution}_${level}"
    """
    mkdir ${prefix}.zarr
    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        cellstrata: \$(cellstrata --version | sed 's/cellstrata //')
    END_VERSIONS
    """
}
