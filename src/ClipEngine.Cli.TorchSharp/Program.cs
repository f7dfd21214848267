using ClipEngine.Devices;
using ClipEngine.TorchSharp;

// clipengine, with --device torch:cpu and torch:cuda:N beside the engine's own devices.
Backends.Register(new TorchBackendProvider());
return ClipEngine.Cli.Program.Main(args);
