// A whole configuration: `cellstrata run`. Further keys go into ext.args. Data are staged beside the configuration,
// which names them by their file names.
process CELLSTRATA_RUN {
    tag "${meta.id}"
    label 'process_high'

    conda "${moduleDir}/environment.yml"

    input:
    tuple val(meta), path(config), path(data)

    output:
    tuple val(meta), path("${prefix}/clustering/**.zarr", type: 'dir', maxDepth: 2), emit: zarr
    tuple val(meta), path("${prefix}/clustering/**/labels.parquet"), emit: labels
    tuple val(meta), path("images/**"), emit: images, optional: true
    path "versions.yml", emit: versions, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    cellstrata run ${config} ${args} \\
        --quiet \\
        --link copy \\
        --output_dir ${prefix} \\
        --images images \\
        --workers ${task.cpus}

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        cellstrata: \$(cellstrata --version | sed 's/cellstrata //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p ${prefix}/clustering/dataset~stub/file_id~stub.zarr
    touch ${prefix}/clustering/dataset~stub/labels.parquet
    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        cellstrata: \$(cellstrata --version | sed 's/cellstrata //')
    END_VERSIONS
    """
}
