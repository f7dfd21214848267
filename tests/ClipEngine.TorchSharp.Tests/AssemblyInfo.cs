// TorchSharp counts its tensors for the whole process, and the tests look at that count.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
