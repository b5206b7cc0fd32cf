// Two levels of clusters of each file at each resolution, all columns in one zarr for each file:
//
//   nextflow run deployments/nextflow --data 'data/*.h5ad' --resolutions 0.2,0.5 --outdir clustered
include { CELLSTRATA_CLUSTER as LEVEL_1 } from './modules/local/cellstrata/cluster/main'
include { CELLSTRATA_CLUSTER as LEVEL_2 } from './modules/local/cellstrata/cluster/main'
include { CELLSTRATA_COLLECT            } from './modules/local/cellstrata/collect/main'

workflow {
    files = Channel.fromPath(params.data, checkIfExists: true).map { file -> [[id: file.baseName], file] }
    resolutions = Channel.of(params.resolutions.toString().tokenize(',')).flatten()
    asked = files.combine(resolutions).multiMap { meta, file, resolution ->
        cells: [meta + [resolution: resolution], file]
        resolution: resolution
    }
    LEVEL_1(asked.cells, asked.resolution, 1)
    below = LEVEL_1.out.zarr.multiMap { meta, zarr ->
        cells: [meta, zarr]
        resolution: meta.resolution
    }
    LEVEL_2(below.cells, below.resolution, 2)
    both = LEVEL_1.out.zarr.mix(LEVEL_2.out.zarr)
    CELLSTRATA_COLLECT(both.map { meta, zarr -> [[id: meta.id], zarr] }.groupTuple())
}
