using ClipEngine.Cli.Commands;
using ClipEngine.Server;

// clipengine, with a web server for its verb serve.
ServeCommand.Host = ServerHost.RunAsync;
return ClipEngine.Cli.Program.Main(args);
