using ClipEngine.Server.Scheduling;

namespace ClipEngine.Server;

/// <summary>A model and what is kept of it between requests.</summary>
internal sealed class ServedModel
{
    /// <summary>Sets of labels whose features are kept; an application has a few.</summary>
    private const int KeptLabelSets = 32;

    private readonly Lock _lock = new();
    private readonly LinkedList<(string Key, FeatureMatrix Features)> _labels = []; // the last used first

    /// <summary>Opens the model's towers for work.</summary>
    /// <exception cref="BadInputException">The model does not make one feature of an image, or lacks a tokenizer.</exception>
    public ServedModel(string name, ClipModel model)
    {
        Name = name;
        Model = model;
        int context = model.Tokenizer.ContextLength;
        if (model.Encoder.ImageFeatureShape(1).Rank != 2 || model.Encoder.TextFeatureShape(1, context).Rank != 2)
            throw new BadInputException(name, $"{model.Encoder.Architecture} has several vectors for each image or sentence.", "It cannot be served.");
        _ = model.Preprocessor;
        Images = new ImageLane(name, model);
        Texts = new TextLane(name, model);
    }

    /// <summary>What clients call it.</summary>
    public string Name { get; }

    /// <summary>The model.</summary>
    public ClipModel Model { get; }

    /// <summary>Its image tower.</summary>
    public ImageLane Images { get; }

    /// <summary>Its text tower.</summary>
    public TextLane Texts { get; }

    /// <summary>The features of labels that were used before.</summary>
    public FeatureMatrix? FindLabels(string key)
    {
        lock (_lock)
        {
            for (LinkedListNode<(string Key, FeatureMatrix Features)>? node = _labels.First; node is not null; node = node.Next)
            {
                if (node.Value.Key != key)
                    continue;
                _labels.Remove(node);
                _labels.AddFirst(node);
                return node.Value.Features;
            }

            return null;
        }
    }

    /// <summary>Keeps the features of labels for the next request.</summary>
    public void KeepLabels(string key, FeatureMatrix features)
    {
        lock (_lock)
        {
            if (_labels.Any(kept => kept.Key == key))
                return;
            _labels.AddFirst((key, features));
            if (_labels.Count > KeptLabelSets)
                _labels.RemoveLast();
        }
    }
}
