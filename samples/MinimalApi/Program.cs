// MinimalApi --Clip:Model=MODEL: embeddings and zero-shot classification over http.
//   curl --data-binary @cat.jpg 'localhost:5000/classify?label=cat&label=dog&template=a+photo+of+a+%7B%7D.'
//   curl --data-binary @cat.jpg localhost:5000/embed/image
//   curl --json '["a cat", "a dog"]' localhost:5000/embed/text
using ClipEngine;
using ClipEngine.Imaging;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.Mvc;

WebApplicationBuilder builder = WebApplication.CreateBuilder(args);
builder.Services.AddClipEngine(options => options.Model = builder.Configuration["Clip:Model"] ?? "");
builder.Services.AddProblemDetails();
WebApplication app = builder.Build();

// What is wrong with an image or a template is the client's to know: 400 with the message. Everything else stays a 500 without details.
app.UseExceptionHandler(handler => handler.Run(async context =>
{
    Exception? error = context.Features.Get<IExceptionHandlerFeature>()?.Error;
    IResult answer = error is BadInputException ? Results.Problem(error.Message, statusCode: StatusCodes.Status400BadRequest) : Results.Problem();
    await answer.ExecuteAsync(context);
}));

// A wrong path fails here and not in the first request, which does not have to wait for the load either.
app.Services.GetRequiredService<ClipModel>();

// The body is the image file itself; it is read asynchronously. A client that goes away cancels the work.
app.MapPost("/embed/image", async (HttpRequest request, ClipModel model, CancellationToken cancellation) =>
    await model.EncodeImageAsync(ImageInput.FromStream(request.Body, "the request's body"), cancellationToken: cancellation));

app.MapPost("/embed/text", async (string[] sentences, ClipModel model, CancellationToken cancellation) =>
{
    FeatureMatrix features = await model.EncodeTextsAsync(sentences, cancellationToken: cancellation);
    return Enumerable.Range(0, features.Count).Select(i => features[i].ToArray());
});

// A service whose labels are always the same makes a ZeroShotClassifier once and keeps it.
app.MapPost("/classify", async (HttpRequest request, [FromQuery] string[] label, [FromQuery] string[]? template, ClipModel model, CancellationToken cancellation) =>
    await model.ClassifyAsync(ImageInput.FromStream(request.Body, "the request's body"), label, template, cancellation));

await app.RunAsync();
