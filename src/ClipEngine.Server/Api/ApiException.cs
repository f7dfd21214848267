namespace ClipEngine.Server.Api;

/// <summary>A request is refused; what the client is told has OpenAI's shape.</summary>
/// <param name="status">The status of the answer.</param>
/// <param name="message">What is wrong and what to do.</param>
/// <param name="parameter">The field at fault; null where it is none.</param>
/// <param name="code">A word for programs.</param>
internal sealed class ApiException(int status, string message, string? parameter = null, string? code = null) : Exception(message)
{
    /// <summary>The status of the answer.</summary>
    public int Status { get; } = status;

    /// <summary>The field at fault; null where it is none.</summary>
    public string? Parameter { get; } = parameter;

    /// <summary>A word for programs.</summary>
    public string? Code { get; } = code;

    /// <summary>Seconds after which a new try makes sense; null where it is not about time.</summary>
    public int? RetryAfter { get; init; }

    /// <summary>A field whose value is wrong: 400.</summary>
    public static ApiException BadValue(string parameter, string message) => new(StatusCodes.Status400BadRequest, $"{parameter}: {message}", parameter, "invalid_value");
}
